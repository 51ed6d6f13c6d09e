"""The region's quota of cores for each family of virtual machines."""

import math
from collections.abc import Iterable, Iterator

from sandbox.workspace.arm import ArmError, Json, refused_by_inferencing
from sandbox.workspace.entities import Deployment, Spec
from sandbox.workspace.rules import Quota, Rules, Subject
from sandbox.workspace.vm_sizes import VM_SIZES, VmSize

DEFAULT_LIMIT = 100
MOST_INSTANCES = 50


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

        Deployments on a Kubernetes cluster take none of the region's quota.
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
        """Yield the usage and limit of every family; `base` is the location's ARM path.

        Each has a row for each kind of cores; endpoints take dedicated ones only.
        """
        all_deployments = list(deployments)
        for family in dict.fromkeys(size.family for size in VM_SIZES.values()):
            held = sum(_reserved(d.spec, family) for d in all_deployments)
            yield _usage(base, family, "lowPriority", 0, DEFAULT_LIMIT)
            yield _usage(base, family, "dedicated", held, self._limit(family, Subject()))

    def _limit(self, family: str, subject: Subject) -> int:
        rule = self._rules.take(Quota, subject, family=family)
        return rule.limit if rule else self._limits.get(family.lower(), DEFAULT_LIMIT)


def vm_size(name: str) -> VmSize:
    """Return the size of that name, or refuse one that online deployments cannot use."""
    size = VM_SIZES.get(name.lower())
    if size is None or not size.is_for_inferencing:
        raise _create_failed(f"The instance type {name} is not supported for online deployments.")
    return size


def _usage(base: str, family: str, kind: str, used: int, limit: int) -> Json:
    title = f"{family} Cluster {kind[0].upper()}{kind[1:]} vCPUs"
    return {
        "id": f"{base}/usages/{family}",
        "type": f"Microsoft.MachineLearningServices/vmFamily/{kind}Cores/usages",
        "unit": "Count",
        "currentValue": used,
        "limit": limit,
        "name": {"value": family, "localizedValue": title},
    }


def _reserved(spec: Spec, family: str) -> int:
    if spec.kind == "Kubernetes":
        return 0
    size = VM_SIZES[spec.instance_type.lower()]
    # The service keeps a fifth more instances than asked for, but for the sizes that skip it.
    instances = spec.instances + math.ceil(spec.instances / 5) * size.has_reserve
    return size.cores * instances if size.family == family else 0


def _create_failed(message: str) -> ArmError:
    return refused_by_inferencing("CreateDeployment", "VmSize", message)
