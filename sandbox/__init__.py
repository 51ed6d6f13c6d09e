"""The cloud on one machine: services that exist only in Azure are emulated, the rest is real."""
