"""What people are told of a rollout: when, and in which words."""

from collections.abc import Mapping

from shared.rollouts.model import Notice, NoticeKind, Phase, Rollout
from shared.texts import Text

#: Entering one of these phases is told.
_TOLD: Mapping[tuple[Phase, Phase], NoticeKind] = {
    (Phase.CHECKING, Phase.ENDPOINT): NoticeKind.STARTED,
    (Phase.CHECKING, Phase.DEPLOYMENT): NoticeKind.STARTED,
    (Phase.CHECKING, Phase.REFUSED): NoticeKind.FAILED,
    (Phase.SHIFTING, Phase.LIVE): NoticeKind.LIVE,
    (Phase.REMOVING, Phase.ROLLED_BACK): NoticeKind.ROLLED_BACK,
}


def notices_of(rollout: Rollout, phase: Phase, reason: str) -> tuple[Notice, ...]:
    """Return the messages that are due when the rollout enters a phase."""
    kind = _TOLD.get((rollout.phase, phase))
    if phase is Phase.ROLLING_BACK:
        kind = NoticeKind.FAILED
    if rollout.phase is Phase.RETIRING and reason:  # the old deployment stays, and costs money
        kind = NoticeKind.ATTENTION
    if kind is None:
        return ()
    return tuple(
        Notice(kind=kind, channel=channel, reason=reason or rollout.reason)
        for channel in rollout.plan.channels
    )


def text_of(rollout: Rollout, notice: Notice, *, studio: str) -> Text:
    """Write a message: model, version, endpoint, the reason and the log lines, and a link."""
    model = f"{rollout.model.name} {rollout.model.version}"
    titles = {
        NoticeKind.STARTED: f"{model}: rollout started on {rollout.endpoint}",
        NoticeKind.LIVE: f"{model} is live on {rollout.endpoint}",
        NoticeKind.FAILED: f"{model} failed on {rollout.endpoint}",
        NoticeKind.ROLLED_BACK: f"{model} was rolled back on {rollout.endpoint}",
        NoticeKind.ATTENTION: f"{model} on {rollout.endpoint} needs a look",
    }
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
        lines.append(f"Serving now: {rollout.stable or 'nothing'}")
        if rollout.logs:
            lines += ["Last lines of the container's log:", rollout.logs]
    lines.append(studio_link(rollout, studio))
    good = notice.kind in (NoticeKind.STARTED, NoticeKind.LIVE)
    return Text(title=titles[notice.kind], body="\n".join(lines), good=good)


def studio_link(rollout: Rollout, studio: str) -> str:
    """Return the address of the endpoint's page in AML studio."""
    return f"{studio}/endpoints/realtime/{rollout.endpoint}/detail?wsid={rollout.workspace.id}"
