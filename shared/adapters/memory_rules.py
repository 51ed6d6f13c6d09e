"""The rules of the service that the in-memory twin of the workspaces keeps. No I/O."""

import math
from collections.abc import Iterable, Mapping

from shared.adapters.documents import default_of
from shared.errors import QuotaExceeded, WorkspaceRefused
from shared.workspaces import Capacity, Deployment, Endpoint, EndpointKind, State

MOST_DEPLOYMENTS = 20
MOST_INSTANCES = 50
MOST_MIRRORED = 50


def check_new_endpoint(kind: EndpointKind, auth_mode: str, compute: str) -> None:
    """Refuse an endpoint that the service would not create."""
    if kind is EndpointKind.BATCH and auth_mode != "aad_token":
        raise WorkspaceRefused(f"a batch endpoint takes aad_token only, not {auth_mode}")
    if kind is EndpointKind.KUBERNETES and not compute:
        raise WorkspaceRefused("a Kubernetes endpoint needs a compute")


def check_split(
    endpoint: Endpoint,
    deployments: Mapping[str, Deployment],
    traffic: Mapping[str, int],
    mirror: Mapping[str, int],
) -> None:
    """Refuse shares that the service would not take."""
    if endpoint.kind is EndpointKind.BATCH:
        default_of(traffic, mirror)
    if sum(traffic.values()) not in (0, 100):
        raise WorkspaceRefused(f"traffic adds up to {sum(traffic.values())}")
    _check_mirror(endpoint, traffic, mirror)
    for name, share in [*traffic.items(), *mirror.items()]:
        found = deployments.get(name)
        if found is None or (share and found.state is not State.SUCCEEDED):
            raise WorkspaceRefused(f"no deployment {name} that could take traffic")
        if not 0 <= share <= 100:
            raise WorkspaceRefused(f"{share} is no share for deployment {name}")


def _check_mirror(
    endpoint: Endpoint, traffic: Mapping[str, int], mirror: Mapping[str, int]
) -> None:
    mirrored = [name for name, share in mirror.items() if share]
    if mirrored and endpoint.kind is EndpointKind.KUBERNETES:
        raise WorkspaceRefused("a Kubernetes endpoint mirrors no traffic")
    if len(mirrored) > 1:
        raise WorkspaceRefused("traffic can be mirrored to one deployment only")
    for name in mirrored:
        if mirror[name] > MOST_MIRRORED:
            raise WorkspaceRefused(f"at most {MOST_MIRRORED} percent can be mirrored")
        if traffic.get(name):
            raise WorkspaceRefused(f"deployment {name} cannot get live and mirrored traffic")


def check_instances(instances: int) -> None:
    """Refuse a size that no deployment can have."""
    if not 1 <= instances <= MOST_INSTANCES:
        raise WorkspaceRefused(f"the capacity must be from 1 to {MOST_INSTANCES}")


def check_cores(capacity: Capacity | None, held: Iterable[int], own: int, wanted: int) -> None:
    """Refuse more instances than there are cores for.

    `held` are the instances of each deployment, `own` those that the deployment itself has now.
    """
    if capacity is None or capacity.limit is None:
        return
    used = cores_of(capacity, held)
    needed = capacity.cores * (_reserved(wanted) - _reserved(own))
    if needed > 0 and used + needed > capacity.limit:
        raise QuotaExceeded(
            f"Not enough quota available for {capacity.family}. "
            f"Current usage/limit: {used}/{capacity.limit}. Additional needed: {needed}"
        )


def cores_of(capacity: Capacity, held: Iterable[int]) -> int:
    """Return the cores in use: those of deployments with so many instances, and of all others."""
    return (capacity.used or 0) + capacity.cores * sum(map(_reserved, held))


def _reserved(instances: int) -> int:
    # The service keeps a fifth more, to upgrade without downtime.
    return instances + math.ceil(instances / 5)
