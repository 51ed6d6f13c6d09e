"""The questions of `deploy`: its endpoint, its cores, its compute, its environment and code."""

from collections.abc import Iterator
from functools import partial

from shared.actions.deploy.asset_names import find_asset_id
from shared.actions.live import CORES, LiveFault, LiveStep, Question
from shared.base.errors import ParamsInvalid, WorkspaceError
from shared.rollouts.state.tags import TAG_MODEL
from shared.workspaces.model import AssetKind, Capacity, EndpointKind


def deploy_questions(step: LiveStep) -> Iterator[Question]:
    """Yield each question, for one workspace."""
    yield step.may_read_models()
    kind = step.kind
    if kind is None:
        yield Question(path=("kind",), ask=None)
        return
    yield step.about("endpoint", partial(_ask_endpoint, step, kind))
    yield from step.if_given(
        "compute", lambda name: step.find_absent("compute", name, "computes", name)
    )
    for asset in AssetKind:
        field = "environment" if asset is AssetKind.ENVIRONMENT else "code"
        yield from step.if_given(field, partial(_ask_asset, step, asset))
    if kind is EndpointKind.MANAGED:
        yield step.about("instance_type", partial(_ask_capacity, step), role=CORES)


def _ask_endpoint(step: LiveStep, kind: EndpointKind, name: str) -> LiveFault | None:
    found = step.workspaces.get_endpoint(step.workspace, name, kind=kind)
    if found is None:
        return None
    where = f"endpoint '{name}' of workspace '{step.workspace.name}'"
    if found.kind is not kind:
        hint = f"Write `kind: {found.kind}`, or choose another name."
        return LiveFault(message=f"{where} is {found.kind}, not {kind}", hint=hint)
    if TAG_MODEL not in found.tags and step.value("adopt", False) is False:
        hint = "Write `adopt: true` to take it over, or choose another name."
        return LiveFault(message=f"{where} was not made by Signalbox", hint=hint)
    return None


def _ask_asset(step: LiveStep, kind: AssetKind, written: str) -> LiveFault | None:
    try:
        find_asset_id(step.workspaces, step.workspace, kind, written)
    except ParamsInvalid as error:
        return LiveFault(message=error.message, hint=error.hint)
    return None


def _ask_capacity(step: LiveStep, instance_type: str) -> LiveFault | None:
    capacity = step.workspaces.find_capacity(step.workspace, instance_type)
    if capacity is None:
        message = f"the region of workspace '{step.workspace.name}' has no VM size"
        hint = "Write it as Azure does: Standard_DS3_v2."
        return LiveFault(message=f"{message} '{instance_type}'", hint=hint)
    count = step.value("instance_count", 1)
    if capacity.used is None or capacity.limit is None or not isinstance(count, int):
        return None
    return _find_shortage(capacity, instance_type, count, is_served=_is_served(step))


def _is_served(step: LiveStep) -> bool:
    """Say whether a deployment of the endpoint has its cores already."""
    endpoint = step.text("endpoint")
    if not endpoint:
        return False
    try:
        found = step.workspaces.get_endpoint(step.workspace, endpoint, kind=EndpointKind.MANAGED)
    except WorkspaceError:
        return True  # why it can't be read is said of the endpoint
    return found is not None and any(found.traffic.values())


def _find_shortage(
    capacity: Capacity, instance_type: str, count: int, *, is_served: bool
) -> LiveFault | None:
    """Return the fault where the family lacks cores: warnings, because others may free some."""
    needed = capacity.cores * count
    left = max((capacity.limit or 0) - (capacity.used or 0), 0)
    hint = "Ask for more quota, or write another `instance_type` or `instance_count`."
    asked = f"{count} x {instance_type} need {needed} cores besides what Azure keeps in reserve"
    has = f"{left} of {capacity.limit} of {capacity.family} are left"
    if needed > left:
        return LiveFault(message=f"{asked}, and {has}", hint=hint, is_certain=False)
    if not is_served and 2 * needed > left:
        message = f"{asked}, and as many again beside them for the next version; {has}"
        return LiveFault(message=message, hint=hint, is_certain=False)
    return None
