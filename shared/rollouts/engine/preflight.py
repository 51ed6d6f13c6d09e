"""Obstacles to creating a new deployment, found before anything is made."""

from shared.base.errors import Disposition, SignalboxError
from shared.base.ids import is_legal_name
from shared.rollouts.deciding.observation import Observation
from shared.rollouts.deciding.steps.kinds import DECIDERS
from shared.rollouts.state.rollout import Rollout
from shared.workspaces.model import Capacity, EndpointKind
from shared.workspaces.ports import Endpoints

#: Per endpoint, of every kind.
DEPLOYMENTS_MAX = 20


def find_obstacles(rollout: Rollout, seen: Observation, workspaces: Endpoints) -> tuple[str, ...]:
    """Return each reason why the deployment can't be created; () where there is none.

    Raises: WorkspaceError if waiting can help. A fact that the app may not read does not count,
    because the service checks it itself.
    """
    faults = [
        f"{what} {name!r} is no name that AML takes: 3 to 32 letters, digits and single dashes"
        for what, name in (("endpoint", rollout.endpoint), ("deployment", rollout.deployment))
        if not is_legal_name(name)
    ]
    if len(seen.deployments) >= DEPLOYMENTS_MAX:
        faults.append(
            f"endpoint {rollout.endpoint} has {len(seen.deployments)} deployments, and AML lets it"
            f" have {DEPLOYMENTS_MAX}"
        )
    if _cannot_be_probed(rollout, seen):
        faults.append(
            f"endpoint {rollout.endpoint} answers on http:// only, where its key could be read on"
            " the way: its deployments can't be probed"
        )
    faults += _find_endpoint_faults(rollout, seen)
    if rollout.plan.kind is EndpointKind.MANAGED:
        faults += _find_capacity_faults(rollout, seen, workspaces)
    return tuple(faults)


def _find_endpoint_faults(rollout: Rollout, seen: Observation) -> list[str]:
    """Return in what an endpoint that is there is less guarded than the reaction demands.

    A rollout does not change that: its callers may rely on it, and an identity can't be changed.
    """
    endpoint, plan = seen.endpoint, rollout.plan
    if endpoint is None:
        return []
    faults = []
    if endpoint.is_public and not plan.is_public:
        faults.append(
            f"endpoint {endpoint.name} can be called from the internet, and the reaction has"
            " `public_network_access: disabled`: change the endpoint first"
        )
    has = {each.lower() for each in endpoint.identities}
    lacking = [each for each in plan.identities if each.lower() not in has]
    if lacking:
        names = ", ".join(each.rpartition("/")[2] for each in lacking)
        faults.append(
            f"endpoint {endpoint.name} does not have the identity {names} of the reaction, and an"
            " endpoint's identity can't be changed: make another endpoint"
        )
    return faults


def _cannot_be_probed(rollout: Rollout, seen: Observation) -> bool:
    """Return whether the strategy probes an endpoint without https://, as on a bare cluster."""
    address = seen.endpoint.scoring_uri if seen.endpoint else ""
    probes = any(DECIDERS[step.kind].sends_requests for step in rollout.plan.strategy.steps)
    return probes and address.lower().startswith("http://")


def _find_capacity_faults(
    rollout: Rollout, seen: Observation, workspaces: Endpoints
) -> tuple[str, ...]:
    instance_type = rollout.plan.instance_type
    try:
        capacity = workspaces.find_capacity(rollout.workspace, instance_type)
    except SignalboxError as error:
        if error.disposition is Disposition.RETRY:
            raise
        return ()
    if capacity is None:
        return (f"the workspace's region lists no VM size {instance_type}",)
    return _find_shortage(capacity, _most_instances(rollout, seen), instance_type)


def _find_shortage(capacity: Capacity, instances: int, instance_type: str) -> tuple[str, ...]:
    if capacity.used is None or capacity.limit is None:
        return ()
    # The service reserves another fifth of most sizes, and checks that itself.
    needed = capacity.cores * instances
    left = max(capacity.limit - capacity.used, 0)
    if needed <= left:
        return ()
    return (
        f"{instances} x {instance_type} need {needed} cores, besides what Azure keeps in reserve;"
        f" of {capacity.limit} of {capacity.family} {left} are left",
    )


def _most_instances(rollout: Rollout, seen: Observation) -> int:
    """Return the new deployment's largest number of instances in any step."""
    serving = [found for found in seen.deployments.values() if seen.live(found.name)]
    stable = max((found.instance_count for found in serving), default=0)
    steps = rollout.plan.strategy.steps
    scales = (DECIDERS[step.kind].instances(step, stable) for step in steps)
    return max([rollout.plan.instance_count, *scales])
