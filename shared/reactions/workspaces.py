"""`workspaces:` of a reactions file: the workspaces whose events are accepted."""

import re
from collections.abc import Mapping
from typing import Any

from shared.events.model import Workspace, read_workspace
from shared.schema.document import Path
from shared.schema.report import Report
from shared.schema.wording import cut, found

_SETTING_NAME = re.compile(r"[A-Z][A-Z0-9]*_[A-Z0-9_]*")
_SETTING = re.compile(r"%([^%]+)%")
_ID_FORM = (
    "/subscriptions/…/resourceGroups/…/providers/Microsoft.MachineLearningServices/workspaces/…"
)
#: A placeholder that was not filled in.
_PLACEHOLDER = re.compile(r"<[^<>]+>|%[^%]+%|\$\{[^{}]*\}|\$\(|\{\{|\.\.\.|…")
#: A placeholder in the characters that an id may have.
_UNFILLED = re.compile(
    r"[0-]+|[x-]+|your[_-].+|my[_-].+|__.+__|sub|subscription(?:[_-]?id)?|todo|changeme",
    re.IGNORECASE,
)
_UNFILLED_NAME = re.compile(
    r"[xX]{3,}|[Yy][Oo][Uu][Rr][_-].+|__.+__|RESOURCE_?GROUP(?:_?NAME)?|WORKSPACE(?:_?NAME)?"
    r"|resourceGroupName|workspaceName|TODO|CHANGEME"
)
_PLACEHOLDER_HINT = "Fill in the whole id; %NAME% stands for all of it, not for a part."
_FORM_HINT = f"Write {_ID_FORM}, or %NAME% for an app setting that holds it."


def read_workspaces(
    items: list[Any], settings: Mapping[str, str], strict: bool, report: Report
) -> dict[Path, Workspace]:
    """Return the workspaces by their places, each once; every mistake goes to the report.

    A setting that is missing is an error if `strict`, else a warning.
    """
    found_at: dict[str, tuple[Path, Workspace]] = {}
    for index, item in enumerate(items):
        path: Path = ("workspaces", index)
        workspace = _read_workspace(item, path, settings, strict, report)
        if workspace is not None:
            found_at.setdefault(workspace.key, (path, workspace))
    return dict(found_at.values())


def _read_workspace(
    item: Any, path: Path, settings: Mapping[str, str], strict: bool, report: Report
) -> Workspace | None:
    if not isinstance(item, str):
        report.error(path, f"a workspace should be text, found {found(item)}", _FORM_HINT)
        return None
    setting = _SETTING.fullmatch(item)
    value = item if setting is None else settings.get(setting[1], "").strip()
    if setting is not None and not value:
        add = report.error if strict else report.warn
        message = f"the app setting `{cut(setting[1])}` is not set"
        add(path, message, "Set it to the ARM id of the workspace.")
        return None
    workspace = read_workspace(value)
    if workspace is None:
        # A setting may hold a secret by mistake, so its value is not shown.
        subject = f"{found(item)} is" if setting is None else f"`{item}` holds"
        hint = _PLACEHOLDER_HINT if _PLACEHOLDER.search(value) else _FORM_HINT
        if _SETTING_NAME.fullmatch(item):
            hint = f'Write "%{item}%" for the app setting of that name.'
        report.error(path, f"{subject} no ARM id of a workspace", hint)
        return None
    if setting is None and _UNFILLED.fullmatch(workspace.subscription):
        message = f"{found(item)} names no subscription"
        report.error(path, message, _PLACEHOLDER_HINT)
        return None
    names = (workspace.resource_group, workspace.name)
    if setting is None and any(map(_UNFILLED_NAME.fullmatch, names)):
        message = f"{found(item)} names no workspace"
        report.error(path, message, _PLACEHOLDER_HINT)
        return None
    return workspace


def list_hint(text: str) -> str:
    """Return how the text of one workspace is written as a list."""
    if _SETTING.fullmatch(text):
        return f'Write ["{cut(text)}"].'
    if _SETTING_NAME.fullmatch(text):
        return f'Write ["%{cut(text)}%"] for the app setting of that name.'
    if read_workspace(text) is not None:
        return "Put brackets around it: [/subscriptions/…]."
    return (
        "Write its ARM id, or %NAME% for an app setting that holds it, in brackets:"
        ' [/subscriptions/…] or ["%NAME%"].'
    )
