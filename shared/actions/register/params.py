"""The values of `register` in a reaction."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from shared.base.ids import REFERENCE
from shared.events.model import EventType
from shared.reactions.model import Params
from shared.schema.values import PlainName
from shared.workspaces.comparison import BetterParams

#: The tag that finds a model which was registered before a crash.
STEP = "signalbox_step"
_OURS = frozenset({STEP, REFERENCE})
#: AML's limits of tags and properties, less our own tags. Source: "Service limits in Azure Machine
#: Learning", which has limits for runs and none for models.
_TAGS_MAX = 50 - len(_OURS)
_KEY_MAX = 100
_VALUE_MAX = 1000
_DESCRIPTION_MAX = 5000
_PATH_MAX = 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_REST = r"(?:/[^/\\?#%\s]+)*/?"
OF_RUN = re.compile(rf"azureml://jobs/(?P<run>[^/\\?#%\s]+)/outputs/[^/\\?#%\s]+{_REST}")
OF_DATASTORE = re.compile(
    r"azureml://(?:(?P<workspace>subscriptions/[^/]+/resourcegroups/[^/]+/workspaces/[^/]+)/)?"
    rf"datastores/[^/\\?#%\s]+/paths{_REST}",
    re.IGNORECASE,
)


def _check_name(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise ValueError("a model's name has letters, digits, ., _ and -, no more than 255")
    return name


def _check_path(path: str) -> str:
    if not path:
        return path
    is_known = OF_RUN.fullmatch(path) or OF_DATASTORE.fullmatch(path)
    if is_known is None or ".." in path.split("/") or len(path) > _PATH_MAX:
        raise ValueError(
            "give azureml://jobs/<run>/outputs/<output>/… or azureml://datastores/<name>/paths/…"
        )
    return path


def _check_labels(labels: dict[str, str]) -> dict[str, str]:
    if len(labels) > _TAGS_MAX:
        raise ValueError(f"there are {len(labels)}, and AML takes {_TAGS_MAX} beside our own")
    for key, value in labels.items():
        if not 0 < len(key) <= _KEY_MAX or not key.isprintable():
            raise ValueError(f"a name has 1 to {_KEY_MAX} characters that can be printed")
        if len(value) > _VALUE_MAX:
            raise ValueError(f"{key} has {len(value):,} characters, and AML takes {_VALUE_MAX:,}")
        if key in _OURS:
            raise ValueError(f"{key} is Signalbox's own")
    return labels


Labels = Annotated[dict[str, str], AfterValidator(_check_labels)]


class RegisterBetterParams(BetterParams):
    """When a run's model is better than the one that serves on an endpoint."""

    endpoint: PlainName = Field(min_length=1, max_length=255)
    kind: Literal["managed", "kubernetes", "batch"] | None = None


class RegisterParams(Params):
    """The values that `register` takes."""

    events = frozenset({EventType.RUN_COMPLETED})

    name: Annotated[str, AfterValidator(_check_name)]
    path: Annotated[str, AfterValidator(_check_path)] = ""
    kind: Literal["mlflow_model", "custom_model", "triton_model"] = "mlflow_model"
    description: str = Field(default="", max_length=_DESCRIPTION_MAX)
    tags: Labels = Field(default_factory=dict)
    properties: Labels = Field(default_factory=dict)
    when_better: RegisterBetterParams | None = None
