"""The cores that a region has left: which rows of the service's lists count."""

from typing import Any

import pytest

from shared.adapters.aml.capacity import Capacities
from shared.adapters.http import Reply
from shared.workspaces.model import Capacity
from tests.unit.test_adapters_arm import Transport, answer, make_arm

FAMILY = "standardDSv2Family"
DEDICATED = "Microsoft.MachineLearningServices/vmFamily/dedicatedCores/usages"


def size(name: str = "Standard_DS3_v2", **changes: Any) -> dict[str, Any]:
    return {"name": name, "family": FAMILY, "vCPUs": 4, "supportedComputeTypes": ["MIR"]} | changes


def usage(used: Any = 8, limit: Any = 100, **changes: Any) -> dict[str, Any]:
    row = {"type": DEDICATED, "name": {"value": FAMILY}, "currentValue": used, "limit": limit}
    return row | changes


def make(sizes: list[Any], *usages: list[Any]) -> tuple[Capacities, Transport]:
    answers = [answer({"value": items}) for items in (sizes, *usages)]
    arm, transport = make_arm(*answers)
    return Capacities(arm), transport


def find(capacities: Capacities, instance_type: str = "Standard_DS3_v2") -> Capacity | None:
    return capacities.find("s", "westeurope", instance_type)


@pytest.mark.parametrize(
    ("rows", "used", "limit"),
    [
        ([usage()], 8, 100),
        ([usage(limit=-1)], 8, None),
        ([usage(used=None, limit="many")], None, None),
        ([usage(used=True)], None, 100),
        ([], None, None),
        # The next rows have the family's name, but count other cores.
        ([usage(type=DEDICATED.replace("dedicated", "lowPriority")), usage(9, 50)], 9, 50),
        ([usage(type="Microsoft.MachineLearningServices/workspaces/usages"), usage(9)], 9, 100),
        ([usage(name={"value": "standardFSv2Family"}), usage(9)], 9, 100),
        ([usage(name={"value": FAMILY.upper()}, type=DEDICATED.upper())], 8, 100),
        ([usage(name=None), usage(name="x"), "junk", None], None, None),
    ],
)
def test_the_familys_dedicated_cores_count(
    rows: list[Any], used: int | None, limit: int | None
) -> None:
    capacities, _ = make([size()], rows)
    assert find(capacities) == Capacity(family=FAMILY, cores=4, used=used, limit=limit)


@pytest.mark.parametrize(
    "compute_types", [["AmlCompute", "MIR"], ["mir"], None, ["AmlCompute", "ComputeInstance"], []]
)
def test_what_the_list_says_a_size_is_for_refuses_nobody(compute_types: Any) -> None:
    capacities, _ = make([size(supportedComputeTypes=compute_types)], [usage()])
    assert find(capacities) is not None


def test_a_size_that_says_nothing_of_itself_needs_no_cores() -> None:
    capacities, _ = make([{"name": "Standard_DS3_v2"}], [])
    assert find(capacities) == Capacity(family="", cores=0)


def test_both_lists_are_read_to_their_end() -> None:
    following = "https://management.azure.com/next"

    def page(item: Any) -> Reply:
        return answer({"value": [item], "nextLink": following})

    first, second = size("Standard_DS2_v2"), size()
    arm, _ = make_arm(
        page(first), answer({"value": [second]}), page("junk"), answer({"value": [usage()]})
    )
    assert find(Capacities(arm)) == Capacity(family=FAMILY, cores=4, used=8, limit=100)


def test_sizes_are_kept_for_each_region_and_an_empty_list_is_not() -> None:
    capacities, transport = make([], [size()], [usage()], [usage()], [size("Standard_DS2_v2")])
    assert find(capacities) is None
    for location in ("westeurope", "WestEurope"):
        assert capacities.find("s", location, "Standard_DS3_v2") is not None
    assert find(capacities, "Standard_Nope") is None
    assert capacities.find("s", "northeurope", "Standard_DS3_v2") is None
    asked = [request.url.partition("?")[0].split("/")[-2:] for request in transport.requests]
    assert asked == [
        ["westeurope", "vmSizes"],
        ["westeurope", "vmSizes"],
        ["westeurope", "usages"],
        ["WestEurope", "usages"],
        ["northeurope", "vmSizes"],
    ]
