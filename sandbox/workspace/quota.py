"""Virtual machine sizes, and how many cores of each family the region lets one have."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sandbox.workspace.arm import ArmError, Json, refused_by_inferencing
from sandbox.workspace.entities import Deployment, Spec
from sandbox.workspace.rules import Quota, Rules, Subject

DEFAULT_LIMIT = 100
MOST_INSTANCES = 50


@dataclass(frozen=True, slots=True)
class VmSize:
    """One size of virtual machine."""

    name: str
    family: str
    cores: int
    gpus: int
    memory_gb: float
    #: Whether managed online endpoints offer it.
    is_for_inferencing: bool = True


_SIZES = {
    size.name.lower(): size
    for size in (
        VmSize("Standard_DS1_v2", "standardDSv2Family", 1, 0, 3.5, is_for_inferencing=False),
        VmSize("Standard_DS2_v2", "standardDSv2Family", 2, 0, 7.0),
        VmSize("Standard_DS3_v2", "standardDSv2Family", 4, 0, 14.0),
        VmSize("Standard_DS4_v2", "standardDSv2Family", 8, 0, 28.0),
        VmSize("Standard_DS5_v2", "standardDSv2Family", 16, 0, 56.0),
        VmSize("Standard_F2s_v2", "standardFSv2Family", 2, 0, 4.0),
        VmSize("Standard_F4s_v2", "standardFSv2Family", 4, 0, 8.0),
        VmSize("Standard_F8s_v2", "standardFSv2Family", 8, 0, 16.0),
        VmSize("Standard_F16s_v2", "standardFSv2Family", 16, 0, 32.0),
        VmSize("Standard_E2s_v3", "standardESv3Family", 2, 0, 16.0),
        VmSize("Standard_E4s_v3", "standardESv3Family", 4, 0, 32.0),
        VmSize("Standard_E8s_v3", "standardESv3Family", 8, 0, 64.0),
        VmSize("Standard_NC4as_T4_v3", "standardNCASv3_T4Family", 4, 1, 28.0),
        VmSize("Standard_NC8as_T4_v3", "standardNCASv3_T4Family", 8, 1, 56.0),
        VmSize("Standard_NC6s_v3", "standardNCSv3Family", 6, 1, 112.0),
        VmSize("Standard_NC24ads_A100_v4", "standardNCADSA100v4Family", 24, 1, 220.0),
    )
}


class Quotas:
    """Counts the cores of a region's deployments against the limit of each family."""

    def __init__(self, limits: dict[str, int], rules: Rules) -> None:
        self._limits = {family.lower(): limit for family, limit in limits.items()}
        self._rules = rules

    def check(
        self,
        wanted: Spec,
        replaced: Deployment | None,
        subject: Subject,
        deployments: Iterable[Deployment],
        subscription: str,
    ) -> None:
        """Refuse a deployment of an unknown size, or of more cores than are left.

        What runs on a Kubernetes cluster takes none of the region's.
        """
        if wanted.kind == "Kubernetes":
            return
        size = vm_size(wanted.instance_type)
        held = sum(_reserved(d.spec, size.family) for d in deployments)
        own = _reserved(replaced.spec, size.family) if replaced else 0
        needed = _reserved(wanted, size.family) - own
        limit = self._limit(size.family, subject)
        if needed > 0 and held + needed > limit:
            raise _create_failed(
                f"Not enough quota available for {size.name} in SubscriptionId {subscription}. "
                f"Current usage/limit: {held}/{limit}. Additional needed: {needed} "
                "Please see troubleshooting guide, available here: "
                "https://aka.ms/oe-tsg#error-outofquota"
            )

    def usages(self, base: str, deployments: Iterable[Deployment]) -> Iterator[Json]:
        """Yield the usage and limit of every family; `base` is the location's ARM path."""
        all_deployments = list(deployments)
        for family in dict.fromkeys(size.family for size in _SIZES.values()):
            yield {
                "id": f"{base}/usages/{family}",
                "type": "Microsoft.MachineLearningServices/vmFamily/dedicatedCores/usages",
                "unit": "Count",
                "currentValue": sum(_reserved(d.spec, family) for d in all_deployments),
                "limit": self._limit(family, Subject()),
                "name": {"value": family, "localizedValue": f"{family} Cluster Dedicated vCPUs"},
            }

    def _limit(self, family: str, subject: Subject) -> int:
        rule = self._rules.take(Quota, subject, family=family)
        return rule.limit if rule else self._limits.get(family.lower(), DEFAULT_LIMIT)


def vm_size(name: str) -> VmSize:
    """Return the size of that name, or refuse one that online deployments cannot use."""
    size = _SIZES.get(name.lower())
    if size is None or not size.is_for_inferencing:
        raise _create_failed(f"The instance type {name} is not supported for online deployments.")
    return size


def vm_sizes() -> Iterator[Json]:
    """Yield the sizes that the region offers."""
    for size in _SIZES.values():
        yield {
            "name": size.name,
            "family": size.family,
            "vCPUs": size.cores,
            "gpus": size.gpus,
            "memoryGB": size.memory_gb,
            "lowPriorityCapable": True,
            "premiumIO": True,
            "supportedComputeTypes": ["AmlCompute", "ComputeInstance"]
            + ["MIR"] * size.is_for_inferencing,
        }


def _reserved(spec: Spec, family: str) -> int:
    if spec.kind == "Kubernetes":
        return 0
    size = _SIZES[spec.instance_type.lower()]
    # The service keeps a fifth more instances than asked for, to upgrade without downtime.
    instances = spec.instances + math.ceil(spec.instances / 5)
    return size.cores * instances if size.family == family else 0


def _create_failed(message: str) -> ArmError:
    return refused_by_inferencing("CreateDeployment", "VmSize", message)
