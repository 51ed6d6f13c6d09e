"""Reads the run of an event: its status, the run above it, and the step that it runs.

Run history has all of this for certain. An event only shows it in properties and tags, some in
both, in casings that differ, and undocumented. Unreadable members are left out.
"""

import re
from collections.abc import Mapping

from shared.base.incoming import read_object
from shared.events.fields import NAME_MAX, Fields, check_event_name, one_line
from shared.events.model import RUN_STATUSES, Run

#: The statuses after which nothing more happens to a run. A run that is NotResponding may come
#: back.
_ENDED = frozenset({"completed", "failed", "canceled"})

_STATUSES = {status.lower(): status for status in RUN_STATUSES}
#: The members that name the run above this one, the surest first. `azureml.pipelinerunid` was seen
#: in properties and in tags; it is the pipeline just above, which is the root unless pipelines are
#: nested.
_ABOVE = (
    "azureml.rootpipelinerunid",
    "mlflow.rootrunid",
    "azureml.pipelinerunid",
    "mlflow.parentrunid",
)
#: The trials of a sweep and of an AutoML job are named after it: HD_<guid>_3, AutoML_<guid>_setup.
_TRIAL = re.compile(r"((?:HD|AutoML)_[0-9a-fA-F-]{36})_\w+")
_LITERALS_MAX = 65_536


def has_ended(status: str) -> bool:
    """Say whether nothing more happens to a run of this status, in any casing."""
    return status.lower() in _ENDED


def parse_run(data: Fields, *, status: object) -> Run:
    """Read the run of an event; `status` is as it arrived, None if the event has none.

    Raises: EventMalformed if there is no run, or a member of it can't be used.
    """
    arrived = "" if status is None else check_event_name(status, "runStatus", forbidden="/:")
    run_id = data.name("runId", forbidden="/")
    tags, properties = data.texts("runTags"), data.texts("runProperties")
    merged = lowered(tags) | lowered(properties)  # properties win, because anybody may write a tag
    type_ = data.name_or_empty("runType")
    above = _find_above(run_id, merged)
    is_step = "azureml.steprun" in (type_.lower(), merged.get("azureml.runsource", "").lower())
    return Run(
        id=run_id,
        root_id=above or run_id,
        is_root=not is_step and above in ("", run_id),
        step=one_line(merged.get("azureml.modulename", "")),
        type=type_,
        status=_STATUSES.get(arrived.lower(), arrived),
        experiment_id=data.name_or_empty("experimentId"),
        experiment_name=data.name_or_empty("experimentName"),
        tags=tags,
        properties=properties,
    )


def lowered(texts: Mapping[str, str]) -> dict[str, str]:
    """Return tags or properties by their keys in lower case."""
    return {key.lower(): value for key, value in texts.items()}


def find_literals(run: Run) -> dict[str, str]:
    """Return the literal inputs that the event shows of a run, by key."""
    properties = lowered(run.properties)
    text = properties.get("azureml.parameters") or properties.get("parameters") or ""
    if not text.startswith("{") or len(text) > _LITERALS_MAX:
        return {}
    literals = read_object(text)
    return {str(key).lower(): value for key, value in literals.items() if isinstance(value, str)}


def _find_above(run_id: str, merged: Mapping[str, str]) -> str:
    """Return the run that this one is a part of, "" if the event names none."""
    for key in _ABOVE:
        if _is_run_id(merged.get(key, "")):
            return merged[key]
    trial = _TRIAL.fullmatch(run_id)
    if trial is not None:
        return trial[1]
    template = merged.get("runtemplate") or merged.get("run_template") or ""
    return run_id.rpartition("_")[0] if template.lower() == "automl_child" else ""


def _is_run_id(text: str) -> bool:
    is_short = 0 < len(text.strip()) <= NAME_MAX
    return is_short and text.isprintable() and not set("/\ufffd") & set(text)
