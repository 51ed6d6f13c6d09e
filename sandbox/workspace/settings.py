"""The settings of an emulator."""

from dataclasses import dataclass, field
from pathlib import Path

from sandbox.azurite import BlobAccount


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One subscription, one region, one resource group with workspaces in it."""

    #: Where the certificate authority's PEM is written.
    ca_folder: Path
    workspaces: tuple[str, ...] = ("workspace",)
    subscription: str = "00000000-1111-2222-3333-444444444444"
    resource_group: str = "resource-group"
    location: str = "westeurope"
    tenant: str = "00000000-aaaa-bbbb-cccc-000000000000"
    #: The secret that a managed identity client sends as X-IDENTITY-HEADER.
    identity_header: str = "identity-header"
    #: Where the workspaces' events are posted, and the key for it; None publishes nothing.
    topic_url: str | None = None
    topic_key: str = ""
    #: Whether a v2 deployment raises ModelDeployed; there is no proof that the service does.
    publish_model_deployed: bool = False
    #: Emulated seconds per real second.
    speed: float = 1.0
    #: Makes traffic splits and error rates repeatable.
    seed: int = 0
    #: The clusters that every workspace has.
    computes: tuple[str, ...] = ("cpu-cluster",)
    #: The Kubernetes clusters that are attached to every workspace.
    kubernetes: tuple[str, ...] = ("k8s",)
    #: Seconds after the end of a minute until its metrics can be read.
    metrics_lag: float = 0.0
    #: Whether metrics are kept on the world's clock and not on the emulated one: for readers that
    #: live in real time, while everything else runs fast.
    real_time_metrics: bool = False
    #: Where the workspaces keep their files; None has no blobs at all.
    storage: BlobAccount | None = None
    port: int = 0
    control_port: int = 0
    proxy_port: int = 0
    #: Cores per VM family where they differ from the default.
    quotas: dict[str, int] = field(default_factory=dict)
