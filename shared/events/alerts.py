"""Reads an alert of Azure Monitor: all kinds of alert share one schema.

Source of the schema: MicrosoftDocs/azure-monitor-docs, articles/azure-monitor/alerts,
alerts-common-schema.md and alerts-payload-samples.md. The source and the targets of an alert are
required; members that only some kinds have are left out where they can't be read.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Any, TypeGuard

from shared.base.errors import EventMalformed
from shared.base.ids import folded, is_legal_name
from shared.events.fields import Fields, finite_number, one_line
from shared.events.model import Alert, AlertCondition, AlertSeverity

ID_MAX = 1_000
TARGETS_MAX = 50
DESCRIPTION_MAX = 1_000

#: /subscriptions/…/resourceGroups/…/providers/Microsoft.MachineLearningServices/workspaces/…
_WORKSPACE_SEGMENTS = 8
_WORKSPACE_TYPE = ["microsoft.machinelearningservices", "workspaces"]
_HINT = "See docs/how-to/hosting.md for which alerts the app takes."


def parse_alert(data: Mapping[str, Any]) -> tuple[str, Alert]:
    """Read the data of an alert; return it after the ARM id of its workspace.

    Raises: EventMalformed if it lacks a member of every alert, or has no target in a workspace.
    """
    essentials = _inner("the essentials", data, "essentials")
    essentials.require("alertId", "severity", "monitorCondition", "firedDateTime")
    fired_at = essentials.time("firedDateTime")
    resolved_at = essentials.time_or_none("resolvedDateTime")
    targets = tuple(islice(_targets(essentials), TARGETS_MAX))
    workspace, endpoint, deployment = _place(targets)
    measure = _first_condition(data)
    return workspace, Alert(
        id=essentials.name("alertId", limit=ID_MAX),
        rule=_text(essentials, "alertRule"),
        severity=_choice(essentials, "severity", AlertSeverity),
        condition=_choice(essentials, "monitorCondition", AlertCondition),
        fired_at=fired_at,
        # .NET writes the year 1 for a time that was never set.
        resolved_at=resolved_at if resolved_at and resolved_at >= fired_at else None,
        description=_text(essentials, "description", most=DESCRIPTION_MAX),
        signal_type=_text(essentials, "signalType"),
        monitoring_service=_text(essentials, "monitoringService"),
        targets=targets,
        endpoint=endpoint,
        deployment=deployment or (_split_deployment(measure) if endpoint else ""),
        metric=_text(measure, "metricName") or _text(measure, "metricMeasureColumn"),
        value=finite_number(measure.get("metricValue")),
    )


def happened_at(alert: Alert) -> datetime:
    """Return the time of the alert's state: when it fired, or when it was resolved."""
    if alert.condition is AlertCondition.RESOLVED:
        return alert.resolved_at or alert.fired_at
    return alert.fired_at


def _inner(where: str, outer: Mapping[str, Any], key: str) -> Fields:
    value = Fields(where, outer).get(key)
    return Fields(where, value if isinstance(value, Mapping) else {})


def _text(members: Fields, key: str, *, most: int = 255) -> str:
    value = members.get(key)
    return one_line(value, most=most) if isinstance(value, str) else ""


def _choice[T: StrEnum](members: Fields, key: str, choices: type[T]) -> T:
    written = members.name(key).lower()
    for choice in choices:
        if choice.lower() == written:
            return choice
    return members.refuse(key, f"is none of {', '.join(choices)}")


def _targets(essentials: Fields) -> Iterator[str]:
    """Yield the ARM ids of an alert's targets, each once.

    The target of a log alert may be the workspace of the logs; then the items name the resources.
    """
    seen = set()
    for key in ("alertTargetIDs", "configurationItems"):
        items = essentials.get(key)
        for item in items if isinstance(items, list) else ():
            if _is_arm_id(item) and item.lower() not in seen:
                seen.add(item.lower())
                yield item


def _is_arm_id(item: object) -> TypeGuard[str]:
    if not isinstance(item, str) or not item.startswith("/") or len(item) > ID_MAX:
        return False
    return item.isprintable() and "\ufffd" not in item


def _place(targets: tuple[str, ...]) -> tuple[str, str, str]:
    """Return the workspace of the first target in one, and the first endpoint and deployment there.

    Raises: EventMalformed if there is no workspace.
    """
    workspace = ""
    for target in targets:
        segments = target.strip("/").split("/")
        found = "/" + "/".join(segments[:_WORKSPACE_SEGMENTS])
        kind = [segment.lower() for segment in segments[5:7]]
        if kind != _WORKSPACE_TYPE or folded(workspace) not in ("", folded(found)):
            continue
        workspace = workspace or found
        below = segments[_WORKSPACE_SEGMENTS:]
        names = dict(zip(map(str.lower, below[::2]), below[1::2], strict=False))
        endpoint, deployment = names.get("onlineendpoints", ""), names.get("deployments", "")
        if is_legal_name(endpoint):
            return workspace, endpoint, deployment if is_legal_name(deployment) else ""
    if not workspace:
        raise EventMalformed("the alert is about nothing in a workspace", hint=_HINT)
    return workspace, "", ""


def _first_condition(data: Mapping[str, Any]) -> Fields:
    where = "the alert's condition"
    context = _inner(where, data, "alertContext").get("condition")
    conditions = Fields(where, context if isinstance(context, Mapping) else {}).get("allOf")
    first = conditions[0] if isinstance(conditions, list) and conditions else None
    return Fields(where, first if isinstance(first, Mapping) else {})


def _split_deployment(measure: Fields) -> str:
    """Return the deployment that an endpoint's metric is split by, "" if it is not split."""
    dimensions = measure.get("dimensions")
    for item in dimensions if isinstance(dimensions, list) else ():
        if isinstance(item, Mapping) and Fields("a dimension", item).get("name") == "deployment":
            value = Fields("a dimension", item).get("value")
            return value if isinstance(value, str) and is_legal_name(value) else ""
    return ""
