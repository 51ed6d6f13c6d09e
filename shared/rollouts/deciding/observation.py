"""The observation that a rollout decides by, made once a tick."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from shared.rollouts.state.measurement import Measurement
from shared.rollouts.state.rollout import ProbeResult, Rollout
from shared.rollouts.state.splits import share
from shared.workspaces.model import Deployment, Endpoint, OperationResult, OperationStatus, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """The state of the world at one tick. `None` means absent, or not looked at."""

    has_lock: bool = False
    holder: Rollout | None = None  #: The rollout that has the endpoint, if it is another one.
    has_looked: bool = False  #: Whether endpoint and deployments were read.
    endpoint: Endpoint | None = None
    deployments: Mapping[str, Deployment] = field(default_factory=dict)
    operation: OperationResult | None = None
    probe: ProbeResult | None = None
    faults: tuple[str, ...] | None = None  #: Why it can't be created; () where it can.
    worse: str = ""  #: Why the model is not better than the one that serves, where it has to be.
    measurements: tuple[Measurement, ...] | None = None
    grain: timedelta = timedelta(minutes=1)  #: The span of one reading of the metrics.
    failed: frozenset[str] = frozenset()  #: Deployments of other rollouts that went back.
    needed: frozenset[str] = frozenset()  #: Deployments that other rollouts may yet go back to.

    @property
    def traffic(self) -> Mapping[str, int]:
        """The split of live traffic, under the deployments' own names."""
        return self._named({} if self.endpoint is None else self.endpoint.traffic)

    @property
    def mirror(self) -> Mapping[str, int]:
        """The shares that are mirrored, under the deployments' own names."""
        return self._named({} if self.endpoint is None else self.endpoint.mirror)

    def live(self, name: str) -> int:
        """Return the share of live traffic of a deployment, in percent."""
        return share(self.traffic, name)

    def serves(self, name: str) -> int:
        """Return the share of live or mirrored traffic of a deployment, in percent."""
        return share(self.traffic, name) + share(self.mirror, name)

    def find(self, name: str) -> Deployment | None:
        """Return the deployment of this name, in any casing."""
        return self.deployments.get(name) or next(
            (found for key, found in self.deployments.items() if key.lower() == name.lower()), None
        )

    def is_healthy(self, name: str) -> bool:
        """Return whether a deployment may be given traffic."""
        found = self.find(name)
        return found is not None and found.state is State.SUCCEEDED

    def _named(self, shares: Mapping[str, int]) -> Mapping[str, int]:
        called = {name.lower(): name for name in self.deployments}
        return {called.get(name.lower(), name): part for name, part in shares.items() if part}


def failure_in(seen: Observation) -> str:
    """Return why the phase's operation failed, or "" if it did not."""
    result = seen.operation
    if result is None or result.status is not OperationStatus.FAILED:
        return ""
    return f"{result.code}: {result.message}" if result.code else result.message or "no reason"


def unread_reason(seen: Observation) -> str:
    """Return why the reason of a failure can't be read, as an addition to its message; or ""."""
    result = seen.operation
    if result is None or result.status is not OperationStatus.UNKNOWN or not result.message:
        return ""
    return f" (why is not known: {result.message})"
