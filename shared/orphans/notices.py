"""The messages about orphans, and the words for their instances and their cost."""

from collections.abc import Collection

from shared.base.words import bullets, minute, shortened
from shared.events.model import Workspace
from shared.messages.notice import Text
from shared.orphans.model import Orphan, Sighting
from shared.workspaces.model import EndpointKind, State

_LISTED_MAX = 20
_BODY_MAX = 4000


def text_of_report(workspace: Workspace, orphans: tuple[Orphan, ...], *, is_reminder: bool) -> Text:
    """Write the message that lists the orphans, or says that there are none any more."""
    if not orphans:
        return _text(f"No orphan deployments need a look in {workspace.name}", workspace, good=True)
    return _text(
        f"{_counted(orphans)}{' still' if is_reminder else ''} in {workspace.name}",
        workspace,
        "To see all: signalbox endpoints orphans",
        "They get no traffic, and no rollout needs them:",
        *bullets([_line(orphan) for orphan in orphans], _LISTED_MAX),
    )


def text_of_deleted(workspace: Workspace, gone: tuple[Sighting, ...]) -> Text:
    """Write the message that lists the orphans that were deleted."""
    lines = bullets([sighting.line for sighting in gone], _LISTED_MAX)
    return _text(f"{_counted(gone)} deleted in {workspace.name}", workspace, *lines)


def _text(title: str, workspace: Workspace, *lines: str, good: bool | None = None) -> Text:
    body = "\n".join([f"Workspace: {workspace.name}", *lines])
    return Text(title=title, body=shortened(body, _BODY_MAX), good=good)


def cost_words(orphan: Orphan) -> str:
    """Return the cost of an orphan in words that need no price."""
    if orphan.kind is EndpointKind.KUBERNETES:
        return "a share of its cluster"
    if orphan.cost is None:
        return "cost unknown"
    return f"{orphan.cost.size}, {orphan.cost.cores} core-hours each hour"


def instance_words(orphan: Orphan) -> str:
    """Return the number and the type of an orphan's instances."""
    return f"{orphan.instance_type or 'type unknown'} x {orphan.instance_count}"


def describe_orphan(orphan: Orphan) -> str:
    """Describe an orphan on one line: its place, model, instances, and since when it is one."""
    since = f", since {minute(orphan.since)}" if orphan.since else ""
    return (
        f"{orphan.endpoint}/{orphan.deployment}: {orphan.model or 'model unknown'}, "
        f"{instance_words(orphan)}{since}"
    )


def _counted(found: Collection[object]) -> str:
    return "1 orphan deployment" if len(found) == 1 else f"{len(found)} orphan deployments"


def _line(orphan: Orphan) -> str:
    state = "" if orphan.state is State.SUCCEEDED else f", {orphan.state}"
    trouble = f"; not deleted: {orphan.trouble}" if orphan.trouble else ""
    return f"{describe_orphan(orphan)}{state}, {cost_words(orphan)}{trouble}"
