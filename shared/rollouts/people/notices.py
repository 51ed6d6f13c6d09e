"""The messages about a rollout: which change is worth one, and what it says."""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum

from shared.base.durations import format_duration
from shared.messages.notice import Text, notices_to
from shared.rollouts.state.measurement import GateOutcome
from shared.rollouts.state.phases import STEPS, Phase
from shared.rollouts.state.rollout import Cause, Rollout
from shared.rollouts.state.splits import share, words
from shared.workspaces.model import EndpointKind


class RolloutNoticeKind(StrEnum):
    """The subject of a message about a rollout: its title."""

    STARTED = "{what}: {begun} {where}"
    APPROVAL = "{what} waits for approval {where}"
    HELD = "{what} waits for a decision {where}"
    LIVE = "{what} is live {where}"
    FAILED = "{what} {failed} {where}"
    ROLLED_BACK = "{what} was rolled back {where}"
    ATTENTION = "{what} {where} needs a look"


#: The messages about leaving one phase for another.
_TOLD: Mapping[tuple[Phase, Phase], RolloutNoticeKind] = {
    (Phase.CHECKING, Phase.ENDPOINT): RolloutNoticeKind.STARTED,
    (Phase.CHECKING, Phase.DEPLOYMENT): RolloutNoticeKind.STARTED,
    **{
        (Phase.CHECKING, step): RolloutNoticeKind.STARTED
        for step in STEPS
        if step != Phase.APPROVING
    },
    # It was started again, and refused.
    (Phase.QUEUED, Phase.KEEPING): RolloutNoticeKind.FAILED,
    (Phase.CHECKING, Phase.KEEPING): RolloutNoticeKind.FAILED,
    (Phase.ROLLING_BACK, Phase.KEEPING): RolloutNoticeKind.ROLLED_BACK,
    (Phase.ROLLING_BACK, Phase.REMOVING): RolloutNoticeKind.ROLLED_BACK,
}

#: The messages about entering a phase, from any other.
_ENTERED: Mapping[Phase, RolloutNoticeKind] = {
    Phase.REFUSED: RolloutNoticeKind.FAILED,
    Phase.HELD: RolloutNoticeKind.HELD,
    Phase.APPROVING: RolloutNoticeKind.APPROVAL,
    Phase.LIVE: RolloutNoticeKind.LIVE,
    Phase.STEPPING_DOWN: RolloutNoticeKind.FAILED,
    Phase.ROLLING_BACK: RolloutNoticeKind.FAILED,
}

_FAILED: Mapping[Cause, str] = {
    Cause.FAILED: "failed",
    Cause.ABORTED: "was aborted",
    Cause.SUPERSEDED: "gives way to a newer version",
    Cause.NOT_BETTER: "is not better than the live version",
}
#: The messages that somebody has to act on, or to know of soon.
_FOR_PERSONS = {
    RolloutNoticeKind.APPROVAL,
    RolloutNoticeKind.HELD,
    RolloutNoticeKind.ROLLED_BACK,
    RolloutNoticeKind.ATTENTION,
}


def with_notices_of(rollout: Rollout, before: Phase, reason: str) -> Rollout:
    """Return a rollout that has just left phase `before` with the message about that, if any."""
    kind = kind_of(rollout, before, reason)
    if kind is None:
        return rollout
    # A person who is asked to approve needs the evidence, and there is no failure to explain.
    explanation = "" if kind is RolloutNoticeKind.APPROVAL else reason or rollout.reason
    return _with_notice(rollout, kind, explanation)


def call_for_help(rollout: Rollout, reason: str) -> Rollout:
    """Return the rollout with the message that a person has to look at it."""
    return _with_notice(rollout, RolloutNoticeKind.ATTENTION, reason)


def _with_notice(rollout: Rollout, kind: RolloutNoticeKind, reason: str) -> Rollout:
    notices = notices_to(rollout.plan.channels, text_of_rollout(rollout, kind, reason))
    return replace(rollout, notices=rollout.notices + notices)


def kind_of(rollout: Rollout, before: Phase, reason: str) -> RolloutNoticeKind | None:
    """Return what there is to tell of a rollout that has just left phase `before`, or None.

    `reason` is why it left.
    """
    phase = rollout.phase
    if before is Phase.STEPPING_DOWN:
        return None  # people were told when it began to go back
    if before in (Phase.RETIRING, Phase.REMOVING) and phase.is_terminal and reason:
        return RolloutNoticeKind.ATTENTION  # a deployment that could not be deleted costs money
    kind = _TOLD.get((before, phase)) or _ENTERED.get(phase)
    has_stayed = rollout.plan.creates and share(rollout.traffic.split, rollout.deployment)
    if kind is RolloutNoticeKind.ROLLED_BACK and has_stayed:
        return RolloutNoticeKind.ATTENTION
    return kind


def text_of_rollout(rollout: Rollout, kind: RolloutNoticeKind, reason: str) -> Text:
    """Write a message: the reason, what it is about, the evidence, the commands to type, a link.

    The log comes last, because a service may take only the beginning.
    """
    is_question = kind in (RolloutNoticeKind.APPROVAL, RolloutNoticeKind.HELD)
    lines = [
        *([f"Reason: {reason}"] if reason else []),
        f"Model: {rollout.model.name}",
        f"Version: {rollout.model.version}",
        f"Endpoint: {rollout.endpoint}",
        f"Deployment: {rollout.deployment}",
        f"Workspace: {rollout.workspace.name}",
    ]
    if kind is RolloutNoticeKind.ROLLED_BACK:
        lines += _back(rollout)
    if is_question:
        lines += _evidence(rollout)
    if is_question or kind is RolloutNoticeKind.LIVE:
        lines += [f"Probe: it {rollout.proof}"] if rollout.proof else []
        lines += _observed(rollout)
    lines += _orders(rollout, kind)
    lines.append(rollout.link)
    if kind is RolloutNoticeKind.ROLLED_BACK and rollout.attempt.logs:
        lines += ["Last lines of the container's log:", rollout.attempt.logs]
    is_good = kind in (RolloutNoticeKind.STARTED, RolloutNoticeKind.LIVE)
    return Text(
        title=_title(rollout, kind),
        body="\n".join(lines),
        good=None if is_question else is_good,
        needs_person=kind in _FOR_PERSONS,
    )


def _title(rollout: Rollout, kind: RolloutNoticeKind) -> str:
    return kind.format(
        what=rollout.model.words or rollout.deployment,
        where=f"on {rollout.endpoint}",
        begun=_begun(rollout),
        failed=_FAILED[rollout.attempt.cause or Cause.FAILED],
    )


def _begun(rollout: Rollout) -> str:
    what = "rollout" if rollout.plan.creates else "shift of traffic"
    return f"{what} {'started again' if rollout.attempt.retries else 'started'}"


def _evidence(rollout: Rollout) -> list[str]:
    """Return the evidence for a decision: the split, and the last results of the deciding gates."""
    gates = (item for item in rollout.gating.measured if not item.observe)
    return [
        f"Traffic: {words(rollout.traffic.split)}",
        *(f"Gate {item.measure}, {item.outcome}: {item.detail}" for item in gates),
    ]


def _back(rollout: Rollout) -> list[str]:
    lines = [f"Serving now: {rollout.stable or 'nothing'}"]
    if rollout.plan.creates and rollout.phase is Phase.KEEPING:
        kept = format_duration(rollout.plan.strategy.keep_failed)
        lines.append(f"Kept for {kept}, without traffic: {rollout.deployment}")
    return lines


def _observed(rollout: Rollout) -> list[str]:
    """Return the failures of gates that only observe, and so decide nothing."""
    return [
        f"Would have failed, but is only observed: {item.detail}"
        for item in rollout.gating.measured
        if item.observe and item.outcome is GateOutcome.FAIL
    ]


def _orders(rollout: Rollout, kind: RolloutNoticeKind) -> list[str]:
    """Return the commands that answer a question."""
    if kind is RolloutNoticeKind.APPROVAL:
        orders: tuple[str, ...] = ("approve", "abort")
    elif kind is RolloutNoticeKind.HELD:
        orders = ("resume", "retry", "promote", "abort")
    else:
        return []
    command = 'To {0}: signalbox rollouts {0} {1} --why "reason"'
    return [command.format(order, rollout.id[:8]) for order in orders]


def studio_link(rollout: Rollout, studio: str) -> str:
    """Return the address of the endpoint's page in AML studio."""
    kind = "batch" if rollout.plan.kind is EndpointKind.BATCH else "realtime"
    return f"{studio}/endpoints/{kind}/{rollout.endpoint}/detail?wsid={rollout.workspace.id}"
