"""Rules of the service, for the in-memory twin of the workspaces. No I/O."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shared.adapters.aml.documents import default_of
from shared.base.errors import QuotaExceeded, WorkspaceRefused
from shared.workspaces.model import (
    AUTH_MODES,
    WITHOUT_CODE,
    Capacity,
    Deployment,
    Endpoint,
    EndpointKind,
    ModelVersion,
    State,
)

MOST_DEPLOYMENTS = 20
MOST_INSTANCES = 50
MOST_MIRRORED = 50

#: The VM sizes that skip the reserve: azure-ai-docs, reference-managed-online-endpoints-vm-sku-list
#: (dated 2023-10-18, read 2026-11 at commit 1d987e37).
_WITHOUT_RESERVE = frozenset(
    {
        "standard_nc24ads_a100_v4",
        "standard_nc48ads_a100_v4",
        "standard_nc96ads_a100_v4",
        "standard_nc40ads_h100_v5",
        "standard_nc80adis_h100_v5",
        "standard_nd40rs_v2",
        "standard_nd96asr_v4",
        "standard_nd96amsr_a100_v4",
        "standard_nd96is_h100_v5",
        "standard_nd96isr_h100_v5",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """The demands of Azure Policy on new resources: tags, and of endpoints more.

    They have to be private, and to have an identity that was assigned to them.
    """

    tags: frozenset[str]


def check_demands(
    demands: Demands | None,
    tags: Mapping[str, str],
    is_public: bool = False,
    has_identities: bool = True,
) -> None:
    """Refuse a resource that a company's policy does not allow, as Azure Policy does."""
    if demands is None:
        return
    missing = demands.tags - tags.keys()
    if missing or is_public or not has_identities:
        raise WorkspaceRefused("RequestDisallowedByPolicy: the resource was disallowed by policy")


def check_new_endpoint(kind: EndpointKind, auth_mode: str, compute: str) -> None:
    """Refuse an endpoint that the service would not create."""
    if auth_mode not in AUTH_MODES[kind]:
        known = " or ".join(AUTH_MODES[kind])
        raise WorkspaceRefused(f"a {kind} endpoint takes {known}, not {auth_mode}")
    if kind is EndpointKind.KUBERNETES and not compute:
        raise WorkspaceRefused("a Kubernetes endpoint needs a compute")


def check_without_code(kind: EndpointKind, model: ModelVersion | None) -> None:
    """Refuse a model that the service does not deploy without code; None is an unknown model."""
    if model is not None and model.kind not in WITHOUT_CODE[kind]:
        raise WorkspaceRefused(f"a {model.kind} needs a scoring script on a {kind} endpoint")


def check_split(
    endpoint: Endpoint,
    deployments: Mapping[str, Deployment],
    traffic: Mapping[str, int],
    mirror: Mapping[str, int],
) -> None:
    """Refuse shares that the service would not accept."""
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

    All are counted with their reserve: `held` are the instances of each deployment, `own` those
    that the deployment itself has now.
    """
    if capacity is None or capacity.limit is None:
        return
    used = cores_of(capacity, held)
    needed = capacity.cores * (wanted - own)
    if needed > 0 and used + needed > capacity.limit:
        raise QuotaExceeded(
            f"Not enough quota available for {capacity.family}. "
            f"Current usage/limit: {used}/{capacity.limit}. Additional needed: {needed}"
        )


def cores_of(capacity: Capacity, held: Iterable[int]) -> int:
    """Return the cores in use: those of deployments with these instances, and those of others."""
    return (capacity.used or 0) + capacity.cores * sum(held)


def with_reserve(instance_type: str, instances: int) -> int:
    """Return the instances that the quota must hold to upgrade so many without downtime."""
    skips = instance_type.lower() in _WITHOUT_RESERVE
    return instances if skips else instances + math.ceil(instances / 5)
