"""Decide what a rollout does next, from what it is and what was observed. Pure and total."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.rollouts.model import Phase, ProbeResult, Rollout
from shared.workspaces import Deployment, Endpoint, OperationResult, OperationStatus, State

#: Tags of an endpoint that say what serves; also on deployments, to tell ours from others'.
TAG_MODEL = "signalbox_model"
TAG_VERSION = "signalbox_version"
TAG_DEPLOYMENT = "signalbox_deployment"
TAG_ROLLOUT = "signalbox_rollout"

#: How often a write that succeeded without taking effect, or failed, is tried.
WRITE_TRIES = 3
#: Between probes that did not pass.
SHORT_WAIT = timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What the world looks like at one tick. `None` means absent, or not looked at."""

    has_lock: bool = False
    has_looked: bool = False  #: Whether endpoint and deployments were read.
    endpoint: Endpoint | None = None
    deployments: Mapping[str, Deployment] = field(default_factory=dict)
    operation: OperationResult | None = None
    probe: ProbeResult | None = None

    def live(self, name: str) -> int:
        """Return the share of live traffic of a deployment, in percent."""
        return 0 if self.endpoint is None else _share(self.endpoint.traffic, name)

    def serves(self, name: str) -> int:
        """Return the share of live or mirrored traffic of a deployment, in percent."""
        mirrored = 0 if self.endpoint is None else _share(self.endpoint.mirror, name)
        return self.live(name) + mirrored

    def is_healthy(self, name: str) -> bool:
        """Say whether a deployment may be given traffic."""
        found = self.deployments.get(name)
        return found is not None and found.state is State.SUCCEEDED


def _share(shares: Mapping[str, int], name: str) -> int:
    # The SDK writes the names in a split in lower case, whatever the deployments are called.
    return sum(share for key, share in shares.items() if key.lower() == name.lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing to do now; look again after `delay`, or when the tick's own pace says so.

    `asked` is how long the service asks to wait at the least.
    """

    reason: str
    delay: timedelta | None = None
    asked: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Go:
    """Go on to another phase."""

    phase: Phase
    reason: str = ""
    stable: str | None = None


@dataclass(frozen=True, slots=True)
class CreateEndpoint:
    """Start creating the endpoint."""


@dataclass(frozen=True, slots=True)
class CreateDeployment:
    """Start creating the new deployment."""


@dataclass(frozen=True, slots=True)
class SendProbe:
    """Send the scoring requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTraffic:
    """Start setting the whole split, and the tags that say what serves."""

    traffic: Mapping[str, int]
    serving: str  #: "" where nothing serves.


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteDeployment:
    """Start deleting a deployment; of one that failed, read the log first."""

    name: str
    read_logs: bool = False


Command = CreateEndpoint | CreateDeployment | SendProbe | SetTraffic | DeleteDeployment
Decision = Wait | Go | Command


def decide(rollout: Rollout, seen: Observation, now: datetime) -> Decision:
    """Return what the rollout does next. Answers for every phase and every observation."""
    if rollout.phase.is_terminal:
        return Wait(reason="it has ended")
    if seen.operation is not None and seen.operation.status is OperationStatus.RUNNING:
        if rollout.phase in _TIMED and now - rollout.since > rollout.plan.timeout:
            return _too_long(rollout)
        return Wait(reason="the operation is under way", asked=seen.operation.retry_after)
    return _DECIDERS[rollout.phase](rollout, seen, now)


def _queued(rollout: Rollout, seen: Observation, now: datetime) -> Decision:
    if not seen.has_lock:
        return Wait(reason="another rollout has the endpoint")
    return Go(phase=Phase.CHECKING)


def _checking(rollout: Rollout, seen: Observation, now: datetime) -> Decision:
    endpoint = seen.endpoint
    if rollout.deployment in seen.deployments:
        # Our own, from before a crash: what served then still does, as nothing was shifted yet.
        return Go(phase=Phase.DEPLOYMENT, stable=_serving(seen, besides=rollout.deployment))
    if endpoint is None:
        return Go(phase=Phase.ENDPOINT, stable="")
    if not rollout.plan.adopt and (refusal := _refusal(rollout, endpoint)):
        return Go(phase=Phase.REFUSED, reason=refusal)
    if newer := _newer(rollout, endpoint):
        return Go(phase=Phase.SUPERSEDED, reason=newer)
    is_settled = endpoint.state.is_settled
    if not is_settled and now - rollout.since <= rollout.plan.timeout:
        return Wait(reason=f"the endpoint is {endpoint.state}")
    if endpoint.state is State.SUCCEEDED:
        return Go(phase=Phase.DEPLOYMENT, stable=_serving(seen, besides=rollout.deployment))
    reason = f"endpoint {endpoint.name} is {endpoint.state}: mend it, then deploy again"
    # One that failed before it had a deployment serves nobody, and is made again.
    return (
        Go(phase=Phase.REFUSED, reason=reason)
        if seen.deployments or not is_settled
        else Go(phase=Phase.ENDPOINT, stable="")
    )


def _refusal(rollout: Rollout, endpoint: Endpoint) -> str:
    """Return why the endpoint is not this rollout's to change, or ""."""
    owner = endpoint.tags.get(TAG_MODEL)
    if owner is None:
        return f"endpoint {endpoint.name} was not made by Signalbox; set `adopt: true` to take it"
    if owner != rollout.model.name:
        return f"endpoint {endpoint.name} serves model {owner}; set `adopt: true` to replace it"
    return ""


def _newer(rollout: Rollout, endpoint: Endpoint) -> str:
    """Return why what serves must stay, or "". Versions that are no numbers are not compared."""
    if endpoint.tags.get(TAG_MODEL) != rollout.model.name:
        return ""
    if not _share(endpoint.traffic, endpoint.tags.get(TAG_DEPLOYMENT, "")):
        return ""
    serving, ours = endpoint.tags.get(TAG_VERSION, ""), rollout.model.version
    if serving == ours:
        return f"version {serving} serves already"
    if serving.isdecimal() and ours.isdecimal() and int(serving) > int(ours):
        return f"version {serving} serves, which is newer"
    return ""


def _serving(seen: Observation, *, besides: str) -> str:
    """Return the deployment with the largest share of live traffic, or ""."""
    traffic = seen.endpoint.traffic if seen.endpoint else {}
    called = {name.lower(): name for name in seen.deployments}
    shares = {called.get(name.lower(), name): share for name, share in traffic.items() if share}
    shares.pop(besides, None)
    return max(shares, key=lambda name: (shares[name], name), default="")


def _endpoint(rollout: Rollout, seen: Observation, now: datetime) -> Decision:
    if failure := _failure(seen):
        return Go(phase=Phase.ROLLING_BACK, reason=f"the endpoint could not be made: {failure}")
    if now - rollout.since > rollout.plan.timeout:
        return _too_long(rollout)
    endpoint = seen.endpoint
    if endpoint is not None and endpoint.state is State.SUCCEEDED:
        return Go(phase=Phase.DEPLOYMENT)
    if endpoint is not None and not endpoint.state.is_settled:
        return Wait(reason=f"the endpoint is {endpoint.state}")
    if not rollout.submitted:
        return CreateEndpoint()
    if endpoint is None:
        return Wait(reason="the endpoint is not there yet")
    return Go(phase=Phase.ROLLING_BACK, reason=f"the endpoint is {endpoint.state}")


def _deployment(rollout: Rollout, seen: Observation, now: datetime) -> Decision:
    if failure := _failure(seen):
        return Go(phase=Phase.ROLLING_BACK, reason=failure)
    if now - rollout.since > rollout.plan.timeout:
        return _too_long(rollout)
    found = seen.deployments.get(rollout.deployment)
    if found is None:
        if rollout.submitted and seen.operation is not None:
            return Go(phase=Phase.ROLLING_BACK, reason="the deployment was deleted by someone")
        return CreateDeployment()
    if found.state is State.SUCCEEDED:
        return Go(phase=Phase.PROBING)
    if found.state.is_settled or found.state is State.DELETING:
        return Go(phase=Phase.ROLLING_BACK, reason=f"the deployment is {found.state}")
    return Wait(reason=f"the deployment is {found.state}")


def _probing(rollout: Rollout, seen: Observation, now: datetime) -> Decision:
    if not seen.is_healthy(rollout.deployment):
        return Go(phase=Phase.ROLLING_BACK, reason="the deployment is no longer Succeeded")
    if seen.probe is None:
        return SendProbe()
    if seen.probe.passed:
        return Go(phase=Phase.SHIFTING)
    if rollout.tries < rollout.plan.probe.tries:
        return Wait(reason=f"the probe failed: {seen.probe.detail}", delay=SHORT_WAIT)
    return Go(phase=Phase.ROLLING_BACK, reason=f"the probe failed: {seen.probe.detail}")


def _shifting(rollout: Rollout, seen: Observation, now: datetime) -> Decision:
    endpoint = seen.endpoint
    if endpoint is None:
        return Go(phase=Phase.ROLLING_BACK, reason="the endpoint was deleted by someone")
    if reason := _unshiftable(rollout, seen):
        return Go(phase=Phase.ROLLING_BACK, reason=reason)
    if not endpoint.state.is_settled:
        if now - rollout.since > rollout.plan.timeout:
            return _too_long(rollout)
        return Wait(reason=f"the endpoint is {endpoint.state}")
    if _is_split(endpoint, {rollout.deployment: 100}) and _says(endpoint, rollout.deployment):
        return Go(phase=Phase.LIVE)
    if rollout.tries >= WRITE_TRIES:
        split = _split_text(endpoint)
        return Go(phase=Phase.ROLLING_BACK, reason=f"traffic reads back as {split}")
    return SetTraffic(traffic={rollout.deployment: 100}, serving=rollout.deployment)


def _unshiftable(rollout: Rollout, seen: Observation) -> str:
    """Return why the new deployment must not get traffic, or ""."""
    if failure := _failure(seen):
        return f"traffic could not be shifted: {failure}"
    if not seen.is_healthy(rollout.deployment):
        return "the deployment is no longer Succeeded"
    return ""


def _live(rollout: Rollout, seen: Observation, now: datetime) -> Decision:
    keep_until = rollout.since + rollout.plan.keep_old
    if not rollout.stable:
        return Go(phase=Phase.DONE)
    if now < keep_until:
        return Wait(reason=f"{rollout.stable} is kept", delay=keep_until - now)
    return Go(phase=Phase.RETIRING)


def _retiring(rollout: Rollout, seen: Observation, now: datetime) -> Decision:
    if not seen.has_lock:
        return Wait(reason="another rollout has the endpoint")
    old = seen.deployments.get(rollout.stable)
    if old is None:
        return Go(phase=Phase.DONE)
    if TAG_ROLLOUT not in old.tags:
        return Go(phase=Phase.DONE, reason=f"{old.name} stays: Signalbox did not make it")
    if seen.serves(old.name):
        return Go(phase=Phase.DONE, reason=f"{old.name} stays: it has traffic again")
    return _delete(rollout, seen, old, Phase.DONE)


def _rolling_back(rollout: Rollout, seen: Observation, now: datetime) -> Decision:
    endpoint = seen.endpoint
    serving = _serving(seen, besides=rollout.deployment)
    if endpoint is None:
        return Go(phase=Phase.REMOVING, stable=serving)
    if not endpoint.state.is_settled:
        return Wait(reason=f"the endpoint is {endpoint.state}")
    if not seen.live(rollout.deployment) and not _says(endpoint, rollout.deployment):
        # A write that failed may leave the endpoint Failed, which keeps every later one out;
        # writing what it has anyway is how it gets well.
        is_well = endpoint.state is State.SUCCEEDED or not seen.deployments
        if is_well or rollout.tries >= WRITE_TRIES:
            return Go(phase=Phase.REMOVING, stable=serving)
    healthy = _healthy(rollout, seen)
    traffic = {healthy: 100} if healthy else {}
    return SetTraffic(traffic=traffic, serving=healthy)


def _healthy(rollout: Rollout, seen: Observation) -> str:
    """Return the deployment to roll back to: healthy now, the stable one if it is; "" if none.

    Where nothing served before, what has no traffic has none for somebody's reason.
    """
    if rollout.stable and seen.is_healthy(rollout.stable):
        return rollout.stable
    others = (name for name in seen.deployments if name != rollout.deployment)
    return max(
        (n for n in others if seen.is_healthy(n) and (rollout.stable or seen.live(n))),
        key=lambda name: (seen.live(name), name),
        default="",
    )


def _removing(rollout: Rollout, seen: Observation, now: datetime) -> Decision:
    failed = seen.deployments.get(rollout.deployment)
    if failed is None:
        return Go(phase=Phase.ROLLED_BACK)
    if seen.serves(failed.name):
        return leave(rollout, "it has traffic again")
    return _delete(rollout, seen, failed, Phase.ROLLED_BACK)


def _delete(rollout: Rollout, seen: Observation, deployment: Deployment, then: Phase) -> Decision:
    if not deployment.state.is_settled:
        return Wait(reason=f"{deployment.name} is {deployment.state}")
    if rollout.tries >= WRITE_TRIES:
        return leave(rollout, _failure(seen) or "it is still there")
    is_failed = then is Phase.ROLLED_BACK
    return DeleteDeployment(name=deployment.name, read_logs=is_failed and not rollout.logs)


def leave(rollout: Rollout, why: str) -> Go:
    """Return the end of a rollout that can't delete what it should: the endpoint is not kept."""
    if rollout.phase is Phase.RETIRING:
        return Go(phase=Phase.DONE, reason=f"{rollout.stable} could not be deleted: {why}")
    reason = f"{rollout.deployment} could not be deleted: {why}; {rollout.reason}"
    return Go(phase=Phase.ROLLED_BACK, reason=reason)


def _too_long(rollout: Rollout) -> Go:
    minutes = rollout.plan.timeout.total_seconds() / 60
    reason = f"phase {rollout.phase} took longer than {minutes:g} minutes"
    return Go(phase=Phase.ROLLING_BACK, reason=reason)


def _failure(seen: Observation) -> str:
    result = seen.operation
    if result is None or result.status is not OperationStatus.FAILED:
        return ""
    return f"{result.code}: {result.message}" if result.code else result.message or "no reason"


def _is_split(endpoint: Endpoint, split: Mapping[str, int]) -> bool:
    return {name.lower(): share for name, share in endpoint.traffic.items() if share} == split


def _says(endpoint: Endpoint, deployment: str) -> bool:
    return endpoint.tags.get(TAG_DEPLOYMENT) == deployment


def _split_text(endpoint: Endpoint) -> str:
    shares = sorted(endpoint.traffic.items())
    return ", ".join(f"{name} {share}%" for name, share in shares) or "nothing"


_DECIDERS: Mapping[Phase, Callable[[Rollout, Observation, datetime], Decision]] = {
    Phase.QUEUED: _queued,
    Phase.CHECKING: _checking,
    Phase.ENDPOINT: _endpoint,
    Phase.DEPLOYMENT: _deployment,
    Phase.PROBING: _probing,
    Phase.SHIFTING: _shifting,
    Phase.LIVE: _live,
    Phase.RETIRING: _retiring,
    Phase.ROLLING_BACK: _rolling_back,
    Phase.REMOVING: _removing,
}

#: Phases that are given up after the plan's timeout.
_TIMED = frozenset({Phase.ENDPOINT, Phase.DEPLOYMENT, Phase.SHIFTING})
