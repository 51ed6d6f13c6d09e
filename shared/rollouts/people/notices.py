"""What people are told of a rollout: when, and in which words."""

from collections.abc import Mapping

from shared.base.durations import format_duration
from shared.messages.text import Text
from shared.rollouts.state.measurement import GateOutcome
from shared.rollouts.state.phases import STEPS, Phase
from shared.rollouts.state.rollout import Cause, Notice, NoticeKind, Rollout
from shared.rollouts.state.splits import share, words
from shared.workspaces.model import EndpointKind

#: Leaving one of these phases for the other is told.
_TOLD: Mapping[tuple[Phase, Phase], NoticeKind] = {
    (Phase.CHECKING, Phase.ENDPOINT): NoticeKind.STARTED,
    (Phase.CHECKING, Phase.DEPLOYMENT): NoticeKind.STARTED,
    **{(Phase.CHECKING, step): NoticeKind.STARTED for step in STEPS if step != Phase.APPROVING},
    # Tried again, and turned away.
    (Phase.QUEUED, Phase.KEEPING): NoticeKind.FAILED,
    (Phase.CHECKING, Phase.KEEPING): NoticeKind.FAILED,
    (Phase.ROLLING_BACK, Phase.KEEPING): NoticeKind.ROLLED_BACK,
    (Phase.ROLLING_BACK, Phase.REMOVING): NoticeKind.ROLLED_BACK,
}

#: Entering one of these is told, wherever from.
_ENTERED: Mapping[Phase, NoticeKind] = {
    Phase.REFUSED: NoticeKind.FAILED,
    Phase.HELD: NoticeKind.HELD,
    Phase.APPROVING: NoticeKind.APPROVAL,
    Phase.LIVE: NoticeKind.LIVE,
    Phase.STEPPING_DOWN: NoticeKind.FAILED,
    Phase.ROLLING_BACK: NoticeKind.FAILED,
}

_WHAT: Mapping[Cause, str] = {
    Cause.FAILED: "failed",
    Cause.ABORTED: "was aborted",
    Cause.SUPERSEDED: "makes place for a newer version",
    Cause.NOT_BETTER: "is not better than what serves",
}


def notices_of(rollout: Rollout, phase: Phase, reason: str) -> tuple[Notice, ...]:
    """Return the messages that are due when the rollout enters a phase."""
    kind = _TOLD.get((rollout.phase, phase)) or _ENTERED.get(phase)
    if rollout.phase is Phase.STEPPING_DOWN:
        kind = None  # that it goes back was told
    cannot_delete = rollout.phase in (Phase.RETIRING, Phase.REMOVING) and phase.is_terminal
    if cannot_delete and reason:  # what stays costs money
        kind = NoticeKind.ATTENTION
    has_stayed = rollout.plan.creates and share(rollout.split, rollout.deployment)
    if kind is NoticeKind.ROLLED_BACK and has_stayed:
        kind = NoticeKind.ATTENTION
    if kind is None:
        return ()
    told = "" if kind is NoticeKind.APPROVAL else reason or rollout.reason
    return tuple(
        Notice(kind=kind, channel=channel, reason=told) for channel in rollout.plan.channels
    )


def text_of(rollout: Rollout, notice: Notice, *, studio: str) -> Text:
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
    if notice.kind is NoticeKind.ROLLED_BACK:
        lines += _back(rollout)
    if notice.kind in (NoticeKind.APPROVAL, NoticeKind.HELD):
        lines += _evidence(rollout)
    if notice.kind in (NoticeKind.LIVE, NoticeKind.APPROVAL, NoticeKind.HELD):
        lines += [f"Probe: it {rollout.proof}"] if rollout.proof else []
        lines += _observed(rollout)
    lines += _orders(rollout, notice.kind)
    lines.append(studio_link(rollout, studio))
    if notice.kind is NoticeKind.ROLLED_BACK and rollout.logs:
        # Last, for a service may take only the beginning.
        lines += ["Last lines of the container's log:", rollout.logs]
    good = notice.kind in (NoticeKind.STARTED, NoticeKind.LIVE)
    neutral = notice.kind in (NoticeKind.HELD, NoticeKind.APPROVAL)
    return Text(
        title=_title(rollout, notice.kind),
        body="\n".join(lines),
        good=None if neutral else good,
    )


def _title(rollout: Rollout, kind: NoticeKind) -> str:
    what, where = rollout.model.words or rollout.deployment, f"on {rollout.endpoint}"
    failed = _WHAT[rollout.cause or Cause.FAILED]
    return {
        NoticeKind.STARTED: f"{what}: {_begun(rollout)} {where}",
        NoticeKind.APPROVAL: f"{what} waits for approval {where}",
        NoticeKind.HELD: f"{what} waits for a decision {where}",
        NoticeKind.LIVE: f"{what} is live {where}",
        NoticeKind.FAILED: f"{what} {failed} {where}",
        NoticeKind.ROLLED_BACK: f"{what} was rolled back {where}",
        NoticeKind.ATTENTION: f"{what} {where} needs a look",
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


def _orders(rollout: Rollout, kind: NoticeKind) -> list[str]:
    """Return how to answer, where a person is asked."""
    if kind is NoticeKind.APPROVAL:
        orders: tuple[str, ...] = ("approve", "abort")
    elif kind is NoticeKind.HELD:
        orders = ("resume", "retry", "promote", "abort")
    else:
        return []
    return [f'python manage.py rollouts {order} {rollout.id[:8]} -m "why"' for order in orders]


def studio_link(rollout: Rollout, studio: str) -> str:
    """Return the address of the endpoint's page in AML studio."""
    kind = "batch" if rollout.plan.kind is EndpointKind.BATCH else "realtime"
    return f"{studio}/endpoints/{kind}/{rollout.endpoint}/detail?wsid={rollout.workspace.id}"
