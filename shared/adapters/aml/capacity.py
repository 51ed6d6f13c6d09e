"""The capacity of a region: its VM sizes, and how many cores of each family are used."""

from collections.abc import Mapping
from typing import Final

from shared.adapters.aml.arm import segments
from shared.adapters.client import Client
from shared.base.incoming import Json, object_in
from shared.workspaces.model import Capacity

#: A family has a row for each kind of cores, and one for each workspace; only the type differs.
_DEDICATED = "microsoft.machinelearningservices/vmfamily/dedicatedcores/usages"


class Capacities:
    """The capacity of regions, through Azure Resource Manager; safe to share between threads.

    A region's sizes are read once, and the used cores each time.
    """

    def __init__(self, arm: Client) -> None:
        self._arm: Final = arm
        self._sizes: dict[str, Mapping[str, Capacity]] = {}

    def find(self, subscription: str, location: str, instance_type: str) -> Capacity | None:
        """Return the capacity for an instance type, or None where the region does not list it.

        A size that is listed may still not be one for endpoints. The list says so only in free
        text, and the service itself refuses it.
        """
        provider = ("providers", "Microsoft.MachineLearningServices")
        path = segments("subscriptions", subscription, *provider, "locations", location)
        size = self._find_sizes(path, location).get(instance_type.lower())
        if size is None:
            return None
        doing = f"reading the quota of region {location}"
        for item in self._arm.pages(f"{path}/usages", doing):
            if _is_of(size.family, item):
                used, limit = _whole(item, "currentValue"), _whole(item, "limit")
                return Capacity(family=size.family, cores=size.cores, used=used, limit=limit)
        return size

    def _find_sizes(self, path: str, location: str) -> Mapping[str, Capacity]:
        known = self._sizes.get(path.lower())
        if known is not None:
            return known
        items = self._arm.pages(f"{path}/vmSizes", f"reading the VM sizes of region {location}")
        found = {
            str(item.get("name")).lower(): Capacity(
                family=str(item.get("family") or ""), cores=_whole(item, "vCPUs") or 0
            )
            for item in items
        }
        if found:
            self._sizes[path.lower()] = found
        return found


def _is_of(family: str, usage: Json) -> bool:
    value = object_in(usage, "name").get("value")
    is_dedicated = str(usage.get("type")).lower() == _DEDICATED
    return is_dedicated and str(value).lower() == family.lower()


def _whole(document: Json, name: str) -> int | None:
    """Read a number of cores; the service writes -1 for what it does not limit."""
    value = document.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        return None
    return value
