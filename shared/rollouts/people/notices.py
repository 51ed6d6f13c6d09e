"""What people are told of a rollout: when, and in which words."""

from collections.abc import Mapping

from shared.base.durations import format_duration
from shared.messages.text import Text
from shared.rollouts.state.measurement import GateOutcome
from shared.rollouts.state.phases import STEPS, Phase
from shared.rollouts.state.rollout import Cause, Rollout, RolloutNotice, RolloutNoticeKind
from shared.rollouts.state.splits import share, words
from shared.workspaces.model import EndpointKind

#: Leaving one of these phases for the other is told.
_TOLD: Mapping[tuple[Phase, Phase], RolloutNoticeKind] = {
    (Phase.CHECKING, Phase.ENDPOINT): RolloutNoticeKind.STARTED,
    (Phase.CHECKING, Phase.DEPLOYMENT): RolloutNoticeKind.STARTED,
    **{
        (Phase.CHECKING, step): RolloutNoticeKind.STARTED
        for step in STEPS
        if step != Phase.APPROVING
    },
    # Tried again, and turned away.
    (Phase.QUEUED, Phase.KEEPING): RolloutNoticeKind.FAILED,
    (Phase.CHECKING, Phase.KEEPING): RolloutNoticeKind.FAILED,
    (Phase.ROLLING_BACK, Phase.KEEPING): RolloutNoticeKind.ROLLED_BACK,
    (Phase.ROLLING_BACK, Phase.REMOVING): RolloutNoticeKind.ROLLED_BACK,
}

#: Entering one of these is told, wherever from.
_ENTERED: Mapping[Phase, RolloutNoticeKind] = {
    Phase.REFUSED: RolloutNoticeKind.FAILED,
    Phase.HELD: RolloutNoticeKind.HELD,
    Phase.APPROVING: RolloutNoticeKind.APPROVAL,
    Phase.LIVE: RolloutNoticeKind.LIVE,
    Phase.STEPPING_DOWN: RolloutNoticeKind.FAILED,
    Phase.ROLLING_BACK: RolloutNoticeKind.FAILED,
}

_WHAT: Mapping[Cause, str] = {
    Cause.FAILED: "failed",
    Cause.ABORTED: "was aborted",
    Cause.SUPERSEDED: "makes place for a newer version",
    Cause.NOT_BETTER: "is not better than what serves",
}


def notices_of(rollout: Rollout, phase: Phase, reason: str) -> tuple[RolloutNotice, ...]:
    """Return the messages that are due when the rollout enters a phase."""
    kind = _TOLD.get((rollout.phase, phase)) or _ENTERED.get(phase)
    if rollout.phase is Phase.STEPPING_DOWN:
        kind = None  # that it goes back was told
    cannot_delete = rollout.phase in (Phase.RETIRING, Phase.REMOVING) and phase.is_terminal
    if cannot_delete and reason:  # what stays costs money
        kind = RolloutNoticeKind.ATTENTION
    has_stayed = rollout.plan.creates and share(rollout.split, rollout.deployment)
    if kind is RolloutNoticeKind.ROLLED_BACK and has_stayed:
        kind = RolloutNoticeKind.ATTENTION
    if kind is None:
        return ()
    told = "" if kind is RolloutNoticeKind.APPROVAL else reason or rollout.reason
    return tuple(
        RolloutNotice(kind=kind, channel=channel, reason=told) for channel in rollout.plan.channels
    )


def text_of_rollout(rollout: Rollout, notice: RolloutNotice, *, studio: str) -> Text:
    """Write a message: model, version, endpoint, the reason and the log lines, and a link."""
    lines = [
        f"Model: {rollout.model.name}",
        f"Version: {rollout.model.version}",
        f"Endpoint: {rollout.endpoint}",
        f"Deployment: {rollout.deployment}",
        f"Workspace: {rollout.workspace.name}",
    ]
    if notice.reason:
        lines.append(f"Reason: {notice.reason}")
    if notice.kind is RolloutNoticeKind.ROLLED_BACK:
        lines += _back(rollout)
    if notice.kind in (RolloutNoticeKind.APPROVAL, RolloutNoticeKind.HELD):
        lines += _evidence(rollout)
    if notice.kind in (RolloutNoticeKind.LIVE, RolloutNoticeKind.APPROVAL, RolloutNoticeKind.HELD):
        lines += [f"Probe: it {rollout.proof}"] if rollout.proof else []
        lines += _observed(rollout)
    lines += _orders(rollout, notice.kind)
    lines.append(studio_link(rollout, studio))
    if notice.kind is RolloutNoticeKind.ROLLED_BACK and rollout.logs:
        # Last, for a service may take only the beginning.
        lines += ["Last lines of the container's log:", rollout.logs]
    good = notice.kind in (RolloutNoticeKind.STARTED, RolloutNoticeKind.LIVE)
    neutral = notice.kind in (RolloutNoticeKind.HELD, RolloutNoticeKind.APPROVAL)
    return Text(
        title=_title(rollout, notice.kind),
        body="\n".join(lines),
        good=None if neutral else good,
    )


def _title(rollout: Rollout, kind: RolloutNoticeKind) -> str:
    what, where = rollout.model.words or rollout.deployment, f"on {rollout.endpoint}"
    failed = _WHAT[rollout.cause or Cause.FAILED]
    return {
        RolloutNoticeKind.STARTED: f"{what}: {_begun(rollout)} {where}",
        RolloutNoticeKind.APPROVAL: f"{what} waits for approval {where}",
        RolloutNoticeKind.HELD: f"{what} waits for a decision {where}",
        RolloutNoticeKind.LIVE: f"{what} is live {where}",
        RolloutNoticeKind.FAILED: f"{what} {failed} {where}",
        RolloutNoticeKind.ROLLED_BACK: f"{what} was rolled back {where}",
        RolloutNoticeKind.ATTENTION: f"{what} {where} needs a look",
    }[kind]


def _begun(rollout: Rollout) -> str:
    what = "rollout" if rollout.plan.creates else "shift of traffic"
    return f"{what} {'is tried again' if rollout.attempt else 'started'}"


def _evidence(rollout: Rollout) -> list[str]:
    """Return what a person decides from: the split, and what the deciding gates measured last."""
    gates = (item for item in rollout.measured if not item.observe)
    return [
        f"Traffic: {words(rollout.split)}",
        *(f"Gate {item.measure}, {item.outcome}: {item.detail}" for item in gates),
    ]


def _back(rollout: Rollout) -> list[str]:
    lines = [f"Serving now: {rollout.stable or 'nothing'}"]
    if rollout.plan.creates and rollout.phase is Phase.KEEPING:
        kept = format_duration(rollout.plan.strategy.keep_failed)
        lines.append(f"{rollout.deployment} is kept for {kept}, without traffic")
    return lines


def _observed(rollout: Rollout) -> list[str]:
    """Return what gates that decide nothing would have failed by."""
    return [
        f"Observed, would have failed: {item.detail}"
        for item in rollout.measured
        if item.observe and item.outcome is GateOutcome.FAIL
    ]


def _orders(rollout: Rollout, kind: RolloutNoticeKind) -> list[str]:
    """Return how to answer, where a person is asked."""
    if kind is RolloutNoticeKind.APPROVAL:
        orders: tuple[str, ...] = ("approve", "abort")
    elif kind is RolloutNoticeKind.HELD:
        orders = ("resume", "retry", "promote", "abort")
    else:
        return []
    return [f'python manage.py rollouts {order} {rollout.id[:8]} -m "why"' for order in orders]


def studio_link(rollout: Rollout, studio: str) -> str:
    """Return the address of the endpoint's page in AML studio."""
    kind = "batch" if rollout.plan.kind is EndpointKind.BATCH else "realtime"
    return f"{studio}/endpoints/{kind}/{rollout.endpoint}/detail?wsid={rollout.workspace.id}"
