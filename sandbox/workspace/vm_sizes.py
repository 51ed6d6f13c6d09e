"""The virtual machine sizes that the region offers.

Which of them managed online endpoints take, in which family, with how many cores, and which skip
the reserve, is from azure-ai-docs, reference-managed-online-endpoints-vm-sku-list (dated
2023-10-18, read 2026-11 at commit 1d987e37). It is a part of that list; memory is from the pages
of the virtual machines' own series.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sandbox.workspace.arm import Json


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
    #: Whether more instances than asked for are kept, to upgrade without downtime.
    has_reserve: bool = True


def _skipping(name: str, family: str, cores: int, gpus: int, memory_gb: float) -> VmSize:
    return VmSize(name, family, cores, gpus, memory_gb, has_reserve=False)


_DS, _F, _E = "standardDSv2Family", "standardFSv2Family", "standardESv3Family"
_T4, _V100, _A100 = "standard NCASv3_T4 Family", "standardNCSv3Family", "standardNCADSA100v4Family"
_H100, _ND_H100 = "standardNCADSH100v5Family", "standardNDv5H100Family"

VM_SIZES = {
    size.name.lower(): size
    for size in (
        VmSize("Standard_D2_v3", "standardDv3Family", 2, 0, 8.0, is_for_inferencing=False),
        VmSize("Standard_DS1_v2", _DS, 1, 0, 3.5),
        VmSize("Standard_DS2_v2", _DS, 2, 0, 7.0),
        VmSize("Standard_DS3_v2", _DS, 4, 0, 14.0),
        VmSize("Standard_DS4_v2", _DS, 8, 0, 28.0),
        VmSize("Standard_DS5_v2", _DS, 16, 0, 56.0),
        VmSize("Standard_F2s_v2", _F, 2, 0, 4.0),
        VmSize("Standard_F4s_v2", _F, 4, 0, 8.0),
        VmSize("Standard_F8s_v2", _F, 8, 0, 16.0),
        VmSize("Standard_F16s_v2", _F, 16, 0, 32.0),
        VmSize("Standard_E2s_v3", _E, 2, 0, 16.0),
        VmSize("Standard_E4s_v3", _E, 4, 0, 32.0),
        VmSize("Standard_E8s_v3", _E, 8, 0, 64.0),
        VmSize("Standard_NC4as_T4_v3", _T4, 4, 1, 28.0),
        VmSize("Standard_NC8as_T4_v3", _T4, 8, 1, 56.0),
        VmSize("Standard_NC6s_v3", _V100, 6, 1, 112.0),
        _skipping("Standard_NC24ads_A100_v4", _A100, 24, 1, 220.0),
        _skipping("Standard_NC48ads_A100_v4", _A100, 48, 2, 440.0),
        _skipping("Standard_NC96ads_A100_v4", _A100, 96, 4, 880.0),
        _skipping("Standard_NC40ads_H100_v5", _H100, 40, 1, 320.0),
        _skipping("Standard_NC80adis_H100_v5", _H100, 80, 2, 640.0),
        _skipping("Standard_ND40rs_v2", "standardNDSv2Family", 40, 8, 672.0),
        _skipping("Standard_ND96asr_v4", "standard NDASv4_A100 Family", 96, 8, 900.0),
        _skipping("Standard_ND96amsr_A100_v4", "standard NDAMSv4_A100Family", 96, 8, 1900.0),
        _skipping("Standard_ND96is_H100_v5", _ND_H100, 96, 8, 1900.0),
        _skipping("Standard_ND96isr_H100_v5", _ND_H100, 96, 8, 1900.0),
    )
}


def vm_sizes() -> Iterator[Json]:
    """Yield the sizes that the region offers, as the service lists them."""
    for size in VM_SIZES.values():
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
