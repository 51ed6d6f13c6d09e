"""Run history: the runs of a workspace, ended or not, down to the steps of pipelines.

The addresses and fields are those that azure-ai-ml's own client of it uses.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from shared.adapters.aml.arm import segments
from shared.adapters.aml.connection import Aml
from shared.adapters.refusals import parse_complaint
from shared.base.incoming import Json, is_object, read_object, read_time
from shared.events.model import Workspace
from shared.workspaces.model import RunRecord

#: The property of a pipeline run that holds its literal inputs, as JSON.
_PARAMETERS = "azureml.parameters"
#: The property of a step's run that names its component.
_STEP = "azureml.modulename"
#: Where a run says to which experiment it belongs, if run history names it at all.
_EXPERIMENT = ("experimentName", "experimentId")


class RunHistory:
    """The runs of workspaces."""

    def __init__(self, aml: Aml) -> None:
        self._aml: Final = aml

    def get(self, workspace: Workspace, run_id: str) -> RunRecord | None:
        """Return the run, or None."""
        base = self._aml.find_history(workspace)
        if base is None:
            return None
        url = f"{base}{segments('runs', run_id)}"
        answer = self._aml.data.call("GET", url, f"reading run {run_id!r}", expected=(404,))
        return None if answer.status == 404 else parse_run_record(answer.body)

    def list_children(self, workspace: Workspace, run_id: str) -> tuple[RunRecord, ...]:
        """Return the runs that are directly below a run; () without such a run."""
        base = self._aml.find_history(workspace)
        if base is None:
            return ()
        url = f"{base}{segments('runs', run_id, 'children')}"
        items = self._aml.data.pages(url, f"listing the runs below run {run_id!r}")
        return tuple(parse_run_record(item) for item in items)

    def add_tags(self, workspace: Workspace, run_id: str, tags: Mapping[str, str]) -> None:
        """Merge tags into those of a run."""
        base = self._aml.find_history(workspace)
        if base is not None:
            url = f"{base}{segments('runs', run_id)}"
            body = {"runId": run_id, "tags": dict(tags)}
            self._aml.data.call("PATCH", url, f"tagging run {run_id!r}", body=body)


def parse_run_record(document: Json) -> RunRecord:
    """Read a run. `experiment` is its name where run history tells it, else its id."""
    run_id = str(document.get("runId") or "")
    properties = _texts(document.get("properties"))
    named = {name.lower(): value for name, value in properties.items()}
    complaint = parse_complaint(document["error"]) if document.get("error") else None
    return RunRecord(
        id=run_id,
        status=str(document.get("status") or ""),
        root_id=str(document.get("rootRunId") or run_id),
        parent_id=str(document.get("parentRunId") or ""),
        experiment=next((str(document[key]) for key in _EXPERIMENT if document.get(key)), ""),
        display_name=str(document.get("displayName") or ""),
        step=named.get(_STEP, ""),
        tags=_texts(document.get("tags")),
        properties=properties,
        parameters=_texts(read_object(named.get(_PARAMETERS, "")))
        or _texts(document.get("parameters")),
        started_at=read_time(document.get("startTimeUtc")),
        ended_at=read_time(document.get("endTimeUtc")),
        error_code=complaint.code if complaint else "",
        error=complaint.message if complaint else "",
    )


def _texts(value: Any) -> dict[str, str]:
    return {key: _text(item) for key, item in value.items()} if is_object(value) else {}


def _text(value: Any) -> str:
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
